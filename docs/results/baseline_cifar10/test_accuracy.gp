# gnuplot test_accuracy.gp makes test_accuracy.svg; with -e "format='png'", test_accuracy.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 1000,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 1000,600
  } else {
    set terminal png noenhanced size 1000,600
  }
}
set output 'test_accuracy.'.format
set datafile separator ','
heading = "test accuracy of momentum: mean of all seeds"."\n"."Ours: recipes for momentum in Figure 2, top: All-CNN-C; CIFAR-10 (JPEG q75), cpu scale (5000 training images,"."\n"."12 epochs of batches of 32 with momentum's learning rate in proportion, 1 seed)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set xlabel 'step'
set ylabel 'test accuracy'
set key below
of(r, c) = strcol(1) eq r ? column(c) : NaN
plot 'curves.csv' using 2:(of('that of table_cifar10', 3)) every ::1 with lines lw 2 title 'that of table_cifar10', 'curves.csv' using 2:(of('half the decay', 3)) every ::1 with lines lw 2 title 'half the decay', 'curves.csv' using 2:(of('whitened', 3)) every ::1 with lines lw 2 title 'whitened', 'curves.csv' using 2:(of('crops and flips', 3)) every ::1 with lines lw 2 title 'crops and flips', 'curves.csv' using 2:(of('crops and flips with half the decay', 3)) every ::1 with lines lw 2 title 'crops and flips with half the decay', 'curves.csv' using 2:(of('crops and flips without dropout', 3)) every ::1 with lines lw 2 title 'crops and flips without dropout', 'curves.csv' using 2:(of('crops and flips with half the decay; without dropout', 3)) every ::1 with lines lw 2 title 'crops and flips with half the decay, without dropout', 'curves.csv' using 2:(of('whitened with crops and flips', 3)) every ::1 with lines lw 2 title 'whitened with crops and flips'
