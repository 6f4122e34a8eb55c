# gnuplot heat_maps.gp makes heat_maps.svg; with -e "format='png'", heat_maps.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 1300,500
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 1300,500
  } else {
    set terminal png noenhanced size 1300,500
  }
}
set output 'heat_maps.'.format
set datafile separator ','
heading = "Final test accuracy"."\n"."Figure 3a: learning rate and momentum, with FOP and without; CIFAR-10 (JPEG q75), cpu scale (3000 training images, 6 epochs of batches of 32"."\n"."with momentum's learning rate in proportion, no dropout, 1 seeds)"
unset title
unset key
set xtics ('0.001' 0, '0.01' 1, '0.05' 2, '0.1' 3)
set ytics ('0.1' 0, '0.5' 1, '0.9' 2, '0.99' 3)
set xlabel 'learning rate'
set ylabel 'momentum'
columns = 4
set palette defined (0 '#c9b1dd', 1 '#86cbc5', 2 '#fde725')
set multiplot layout 1, 3 title heading
set cbrange [9.8:24.2]
set title 'without FOP, %'
plot 'accuracies.csv' using (int($0) % columns):(int($0) / columns):3 every ::1 with image, '' using (int($0) % columns):(int($0) / columns):(sprintf('%.1f', column(3))) every ::1 with labels
set title 'with FOP, %'
plot 'accuracies.csv' using (int($0) % columns):(int($0) / columns):4 every ::1 with image, '' using (int($0) % columns):(int($0) / columns):(sprintf('%.1f', column(4))) every ::1 with labels
set palette defined (-1 '#2166ac', 0 '#ffffff', 1 '#b2182b')
set cbrange [-10:10]
set title 'difference'
plot 'accuracies.csv' using (int($0) % columns):(int($0) / columns):5 every ::1 with image, '' using (int($0) % columns):(int($0) / columns):(sprintf('%.1f', column(5))) every ::1 with labels
unset multiplot
