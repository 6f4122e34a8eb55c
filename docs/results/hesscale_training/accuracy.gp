# gnuplot accuracy.gp makes accuracy.svg; with -e "format='png'", accuracy.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'accuracy.'.format
set datafile separator ','
heading = "Test accuracy over training"."\n"."HesScale: training a perceptron with curvature; MNIST, cpu scale (6000 training images, 8 epochs, 3"."\n"."seeds)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set xlabel 'step'
set ylabel 'test accuracy, %'
set key bottom right
of(m) = strcol(1) eq m ? column(3) : NaN
plot 'accuracy.csv' using 2:(of('SGD')) every ::1 with linespoints pt 7 ps 0.4 title 'SGD', 'accuracy.csv' using 2:(of('Adam')) every ::1 with linespoints pt 7 ps 0.4 title 'Adam', 'accuracy.csv' using 2:(of('BL89')) every ::1 with linespoints pt 7 ps 0.4 title 'BL89', 'accuracy.csv' using 2:(of('AdaHessian')) every ::1 with linespoints pt 7 ps 0.4 title 'AdaHessian', 'accuracy.csv' using 2:(of('AdaHesScaleGN')) every ::1 with linespoints pt 7 ps 0.4 title 'AdaHesScaleGN', 'accuracy.csv' using 2:(of('AdaHesScale')) every ::1 with linespoints pt 7 ps 0.4 title 'AdaHesScale'
